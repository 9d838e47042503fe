{{ config(materialized='view') }}

with allowed as (

    select
        *,
        {{ wide_network('remote_ip') }} as wide_network
    from {{ ref('allowed_daily') }}
    where
        direction = 'I'
        and {{ rule_kind('rule') }} = 'user'
        and {{ is_internet('remote_ip') }}

),

of_rules as (

    select
        acl_id,
        rule,
        min(first_at) as first_at,
        max(last_at) as last_at,
        count(distinct remote_ip) as distinct_sources,
        count(distinct wide_network) as wide_networks,
        count(distinct remote_country) as countries,
        count(distinct case when is_malicious then remote_ip end) as malicious_sources,
        count(distinct ip) as distinct_hosts,
        count(distinct protocol * 65536 + port) as ports,
        min(port) as lowest_port,
        max(port) as highest_port,
        sum(flows) as flows,
        sum(malicious) as malicious,
        sum(bytes) as bytes
    from allowed
    group by acl_id, rule

)

select
    acl_id,
    rule,
    first_at,
    last_at,
    cast(distinct_sources as bigint) as distinct_sources,
    cast(wide_networks as bigint) as wide_networks,
    cast(countries as bigint) as countries,
    cast(malicious_sources as bigint) as malicious_sources,
    cast(malicious_sources as double) / distinct_sources as malicious_source_share,
    cast(distinct_hosts as bigint) as distinct_hosts,
    cast(ports as bigint) as ports,
    lowest_port,
    highest_port,
    cast(flows as bigint) as flows,
    cast(malicious as bigint) as malicious,
    cast(bytes as bigint) as bytes,
    wide_networks >= {{ broad_networks() }} as is_broad
from of_rules
