with flows as (

    select
        date,
        lower(coalesce(acl_id, '')) as acl_id,
        coalesce(rule, '') as rule,
        direction,
        upper(coalesce(mac, '')) as mac,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        case when direction = 'I' then src_country else dst_country end as remote_country,
        protocol,
        dst_port,
        service,
        flow_time,
        flow_state,
        is_new_flow,
        is_malicious,
        packets_dst_to_src,
        bytes_src_to_dst,
        bytes_dst_to_src
    from {{ ref('fct_flows') }}
    where decision = 'A'

)

select
    date,
    acl_id,
    rule,
    direction,
    mac,
    ip,
    remote_ip,
    max(remote_country) as remote_country,
    protocol,
    dst_port as port,
    max(service) as service,
    cast(sum(case when is_new_flow then 1 else 0 end) as bigint) as flows,
    cast(count(*) as bigint) as tuples,
    cast(sum(case when is_new_flow and is_malicious then 1 else 0 end) as bigint) as malicious,
    max(case when is_malicious then 1 else 0 end) = 1 as is_malicious,
    {{ known_bytes() }} as bytes,
    {{ is_answered() }} as is_answered,
    min(flow_time) as first_at,
    max(flow_time) as last_at
from flows
group by date, acl_id, rule, direction, mac, ip, remote_ip, protocol, dst_port
