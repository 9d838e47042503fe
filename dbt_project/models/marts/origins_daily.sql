{{ config(materialized='view') }}

with sources as (

    select * from {{ ref('sources_daily') }}

),

known as (

    select
        ip,
        asn,
        organisation,
        azure_region,
        azure_service,
        scanner
    from {{ ref('dim_ip') }}

)

-- A source is in one row of its day, so that sources add up over the rows of a day.
select
    sources.date,
    sources.country,
    known.asn,
    known.organisation,
    known.azure_region,
    known.azure_service,
    known.scanner,
    sources.is_burst,
    cast(sum(sources.flows) as bigint) as flows,
    cast(sum(sources.tuples) as bigint) as tuples,
    cast(sum(sources.attempts) as bigint) as attempts,
    cast(sum(sources.allowed) as bigint) as allowed,
    cast(sum(sources.denied) as bigint) as denied,
    cast(sum(sources.malicious) as bigint) as malicious,
    cast(count(*) as bigint) as sources,
    cast(sum(case when sources.is_malicious then 1 else 0 end) as bigint) as malicious_sources
from sources
left join known on sources.src_ip = known.ip
group by
    sources.date,
    sources.country,
    known.asn,
    known.organisation,
    known.azure_region,
    known.azure_service,
    known.scanner,
    sources.is_burst
