with own as (

    select
        *,
        coalesce(mac, '') as nic,
        {{ vnet_of('target_resource_id') }} as logged_vnet_id,
        {{ subnet_of('target_resource_id') }} as logged_subnet_id,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        case when direction = 'I' then bytes_src_to_dst else bytes_dst_to_src end as bytes_in,
        case when direction = 'I' then bytes_dst_to_src else bytes_src_to_dst end as bytes_out
    from {{ ref('merged_flows') }}

)

select
    date,
    nic as mac,
    ip,
    -- What two of them claim is nobody's for sure.
    {{ only('subscription_id') }} as subscription_id,
    {{ only('logged_vnet_id') }} as vnet_id,
    case
        when min(logged_vnet_id) = max(logged_vnet_id) then {{ only('logged_subnet_id') }}
    end as subnet_id,
    {{ sums_of(['flows', 'tuples', 'attempts', 'counted']) }},
    {{ sums_by_way() }},
    cast(
        sum(case when decision = 'A' then malicious else 0 end) as bigint
    ) as malicious_allowed,
    cast(
        sum(case when decision = 'D' then malicious else 0 end) as bigint
    ) as malicious_denied,
    {{ sums_of(['bytes_in', 'bytes_out', 'counted_bytes']) }},
    cast(count(distinct remote_ip) as bigint) as distinct_remotes,
    cast(count(distinct case when direction = 'I' then dst_port end) as bigint) as distinct_ports,
    min(first_at) as first_at,
    max(last_at) as last_at
from own
group by date, nic, ip
