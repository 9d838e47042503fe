with flows as (

    select
        date,
        direction,
        decision,
        upper(coalesce(mac, '')) as mac,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        lower(coalesce(acl_id, '')) as acl_id,
        coalesce(rule, '') as rule,
        case when direction = 'I' then src_country else dst_country end as remote_country,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        flow_time,
        is_new_flow,
        bytes_src_to_dst,
        bytes_dst_to_src
    from {{ ref('fct_flows') }}
    where is_malicious

)

select
    date,
    direction,
    decision,
    mac,
    ip,
    acl_id,
    rule,
    remote_country,
    cast(sum(case when is_new_flow then 1 else 0 end) as bigint) as flows,
    cast(count(*) as bigint) as tuples,
    {{ known_bytes() }} as bytes,
    cast(count(distinct remote_ip) as bigint) as distinct_remotes,
    min(flow_time) as first_at,
    max(flow_time) as last_at
from flows
group by date, direction, decision, mac, ip, acl_id, rule, remote_country
