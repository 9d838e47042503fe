-- What holds of an address now; of two look-ups of one hour the newer counts.
with newest_first as (

    select
        ip,
        coalesce(azure_region, network_region) as region,
        azure_service,
        row_number() over (
            partition by ip
            order by written_date desc, written_hour desc, looked_up_at desc
        ) as newness
    from {{ ref('stg_ip_lookup') }}
    where valid_to is null

),

addresses as (

    select * from newest_first where newness = 1

),

-- Fewer rows first: look-ups are joined to pairs of addresses, not to ports and rules.
pairs as (

    select
        date,
        hour,
        direction,
        decision,
        protocol,
        flow_type,
        is_malicious,
        encryption,
        subscription_id,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        max(case when direction = 'I' then src_country else dst_country end) as country,
        {{ merged_sums() }}
    from {{ ref('merged_flows') }}
    group by
        date,
        hour,
        direction,
        decision,
        protocol,
        flow_type,
        is_malicious,
        encryption,
        subscription_id,
        case when direction = 'I' then dst_ip else src_ip end,
        case when direction = 'I' then src_ip else dst_ip end

),

placed as (

    select
        pairs.*,
        remotes.region as remote_region,
        remotes.azure_service,
        owns.region as own_region
    from pairs
    left join addresses as remotes on pairs.remote_ip = remotes.ip
    left join addresses as owns on pairs.ip = owns.ip

)

select
    date,
    hour,
    {{ traffic_dimensions() }},
    {{ merged_sums() }}
from placed
group by
    date,
    hour,
    {{ traffic_dimensions() }}
