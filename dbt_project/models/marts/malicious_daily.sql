with flows as (

    select
        *,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        case when direction = 'I' then src_country else dst_country end as remote_country
    from {{ ref('merged_flows') }}
    where is_malicious

)

select
    date,
    direction,
    decision,
    coalesce(mac, '') as mac,
    ip,
    coalesce(acl_id, '') as acl_id,
    coalesce(rule, '') as rule,
    remote_country,
    cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    {{ known_bytes() }} as bytes,
    cast(count(distinct remote_ip) as bigint) as distinct_remotes,
    min(first_at) as first_at,
    max(last_at) as last_at
from flows
group by
    date,
    direction,
    decision,
    coalesce(mac, ''),
    ip,
    coalesce(acl_id, ''),
    coalesce(rule, ''),
    remote_country
