{{ config(materialized='view') }}

with allowed as (

    select * from {{ ref('allowed_daily') }}
    where direction = 'I' and {{ is_internet('remote_ip') }}

)

select
    mac,
    ip,
    protocol,
    port,
    acl_id,
    rule,
    max(service) as service,
    min(first_at) as first_at,
    max(last_at) as last_at,
    cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(malicious) as bigint) as malicious,
    cast(sum(bytes) as bigint) as bytes,
    cast(count(distinct remote_ip) as bigint) as distinct_sources,
    cast(count(distinct case when is_malicious then remote_ip end) as bigint) as malicious_sources,
    cast(count(distinct remote_country) as bigint) as countries,
    cast(count(distinct case when is_answered then remote_ip end) as bigint) as answered_sources,
    max(case when is_answered then 1 when not is_answered then 0 end) = 1 as is_answered,
    coalesce(min(case when is_malicious then remote_ip end), min(remote_ip)) as example_source
from allowed
group by mac, ip, protocol, port, acl_id, rule
