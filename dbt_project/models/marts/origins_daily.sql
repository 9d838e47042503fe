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
    {{ sums_of(['flows', 'tuples', 'attempts', 'allowed', 'denied', 'malicious']) }},
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
