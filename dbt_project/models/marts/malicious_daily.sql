-- As logged, and fewer than flows, so that few ids are made lower case.
with as_logged as (

    select
        date,
        direction,
        decision,
        mac,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        acl_id,
        rule,
        case when direction = 'I' then src_country else dst_country end as remote_country,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        sum(case when is_new_flow then 1 else 0 end) as flows,
        count(*) as tuples,
        {{ known_bytes() }} as bytes,
        min(flow_time) as first_at,
        max(flow_time) as last_at
    from {{ ref('fct_flows') }}
    where is_malicious
    group by
        date,
        direction,
        decision,
        mac,
        case when direction = 'I' then dst_ip else src_ip end,
        acl_id,
        rule,
        case when direction = 'I' then src_country else dst_country end,
        case when direction = 'I' then src_ip else dst_ip end

)

select
    date,
    direction,
    decision,
    upper(coalesce(mac, '')) as mac,
    ip,
    lower(coalesce(acl_id, '')) as acl_id,
    coalesce(rule, '') as rule,
    remote_country,
    cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(bytes) as bigint) as bytes,
    cast(count(distinct remote_ip) as bigint) as distinct_remotes,
    min(first_at) as first_at,
    max(last_at) as last_at
from as_logged
group by
    date,
    direction,
    decision,
    upper(coalesce(mac, '')),
    ip,
    lower(coalesce(acl_id, '')),
    coalesce(rule, ''),
    remote_country
