select
    date,
    lower(coalesce(acl_id, '')) as acl_id,
    coalesce(rule, '') as rule,
    direction,
    decision,
    cast(sum(case when is_new_flow then 1 else 0 end) as bigint) as flows,
    cast(count(*) as bigint) as tuples,
    cast(sum(case when is_new_flow and is_malicious then 1 else 0 end) as bigint) as malicious,
    {{ known_bytes() }} as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets,
    cast(count(distinct protocol * 65536 + dst_port) as bigint) as distinct_ports,
    min(flow_time) as first_at,
    max(flow_time) as last_at
from {{ ref('fct_flows') }}
group by date, lower(coalesce(acl_id, '')), coalesce(rule, ''), direction, decision
