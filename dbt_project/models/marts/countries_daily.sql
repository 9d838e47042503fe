{{ config(materialized='view') }}

with sources as (

    select * from {{ ref('sources_daily') }}

),

countries as (

    select
        date,
        country,
        sum(flows) as flows,
        sum(attempts) as attempts,
        sum(allowed) as allowed,
        sum(denied) as denied,
        sum(malicious) as malicious,
        sum(case when is_burst then flows else 0 end) as burst_flows,
        count(*) as sources,
        sum(case when is_malicious then 1 else 0 end) as malicious_sources,
        sum(case when is_burst then 1 else 0 end) as burst_sources
    from sources
    group by date, country

),

with_totals as (

    select
        *,
        sum(flows) over (partition by date) as flows_of_all
    from countries

)

select
    date,
    country,
    cast(flows as bigint) as flows,
    cast(attempts as bigint) as attempts,
    cast(allowed as bigint) as allowed,
    cast(denied as bigint) as denied,
    cast(malicious as bigint) as malicious,
    cast(burst_flows as bigint) as burst_flows,
    cast(sources as bigint) as sources,
    cast(malicious_sources as bigint) as malicious_sources,
    cast(burst_sources as bigint) as burst_sources,
    cast(flows as double) / nullif(cast(flows_of_all as double), 0) as share_of_flows,
    cast(malicious as double) / nullif(cast(flows as double), 0) as malicious_share
from with_totals
