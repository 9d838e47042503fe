with flows as (

    select * from {{ ref('merged_flows') }}

)

select
    date,
    coalesce(acl_id, '') as acl_id,
    coalesce(rule, '') as rule,
    direction,
    decision,
    cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(malicious) as bigint) as malicious,
    {{ known_bytes() }} as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets,
    cast(count(distinct protocol * 65536 + dst_port) as bigint) as distinct_ports,
    min(first_at) as first_at,
    max(last_at) as last_at
from flows
group by date, coalesce(acl_id, ''), coalesce(rule, ''), direction, decision
