-- As logged, and fewer than flows: ids are long, and making each lower case takes most of the time.
with as_logged as (

    select
        date,
        acl_id,
        rule,
        direction,
        decision,
        src_ip,
        dst_ip,
        protocol,
        dst_port,
        sum(case when is_new_flow then 1 else 0 end) as flows,
        count(*) as tuples,
        sum(case when is_new_flow and is_malicious then 1 else 0 end) as malicious,
        {{ known_bytes() }} as bytes,
        min(flow_time) as first_at,
        max(flow_time) as last_at
    from {{ ref('fct_flows') }}
    group by date, acl_id, rule, direction, decision, src_ip, dst_ip, protocol, dst_port

)

select
    date,
    lower(coalesce(acl_id, '')) as acl_id,
    coalesce(rule, '') as rule,
    direction,
    decision,
    cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(malicious) as bigint) as malicious,
    cast(sum(bytes) as bigint) as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets,
    cast(count(distinct protocol * 65536 + dst_port) as bigint) as distinct_ports,
    min(first_at) as first_at,
    max(last_at) as last_at
from as_logged
group by date, lower(coalesce(acl_id, '')), coalesce(rule, ''), direction, decision
