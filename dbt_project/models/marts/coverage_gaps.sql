{{ config(materialized='view') }}

with nic_hours as (

    select distinct
        source,
        -- Azure spells ids in more than one letter case.
        upper(resource_id) as resource_id,
        upper(mac) as mac,
        {{ hour_of('written_date', 'written_hour') }} as hour_began_at
    from {{ ref('coverage_hourly') }}

),

with_next as (

    select
        source,
        resource_id,
        mac,
        hour_began_at,
        lead(hour_began_at) over (
            partition by source, resource_id, mac order by hour_began_at
        ) as next_began_at
    from nic_hours

),

gaps as (

    select
        source,
        resource_id,
        mac,
        hour_began_at + interval 1 hour as gap_began_at,
        next_began_at as gap_ended_at,
        {{ seconds_between('hour_began_at', 'next_began_at') }} / 3600 - 1 as hours
    from with_next
    where next_began_at > hour_began_at + interval 1 hour

),

-- An hour that was listed for the last time before it had settled may have got a blob since.
landings as (

    select
        source,
        {{ hour_of('written_date', 'written_hour') }} as hour_began_at
    from {{ ref('stg_landings') }}
    where listed_at >= {{ hour_of('written_date', 'written_hour') }} + interval 70 minute

)

select
    gaps.source,
    gaps.resource_id,
    gaps.mac,
    gaps.gap_began_at,
    gaps.gap_ended_at,
    cast(count(landings.hour_began_at) as integer) as hours_without_blob,
    cast(max(gaps.hours) - count(landings.hour_began_at) as integer) as hours_not_listed
from gaps
left join landings
    on
        gaps.source = landings.source
        and gaps.gap_began_at <= landings.hour_began_at
        and gaps.gap_ended_at > landings.hour_began_at
group by gaps.source, gaps.resource_id, gaps.mac, gaps.gap_began_at, gaps.gap_ended_at
