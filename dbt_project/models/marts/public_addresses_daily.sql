{{ config(materialized='view') }}

with pairs as (

    select
        *,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip
    from {{ ref('pairs_daily') }}

),

remotes as (

    select
        date,
        remote_ip as ip,
        {{ sums_by_way() }},
        {{ merged_sums() }},
        min(first_at) as first_at,
        max(last_at) as last_at
    from pairs
    group by date, remote_ip

)

select
    remotes.date,
    remotes.ip,
    known.address_class,
    known.country,
    known.asn,
    known.organisation,
    known.azure_region,
    known.azure_service,
    known.scanner,
    known.is_malicious as is_malicious_now,
    known.threat_type,
    known.threat_feed,
    remotes.allowed_in,
    remotes.denied_in,
    remotes.allowed_out,
    remotes.denied_out,
    remotes.flows,
    remotes.tuples,
    remotes.attempts,
    remotes.counted,
    remotes.malicious,
    remotes.bytes_src_to_dst,
    remotes.bytes_dst_to_src,
    remotes.counted_bytes,
    remotes.first_at,
    remotes.last_at
from remotes
inner join {{ ref('dim_ip') }} as known on remotes.ip = known.ip
where known.address_class in ('public', 'azure', 'documentation')
