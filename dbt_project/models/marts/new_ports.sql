{{ config(materialized='view') }}

with days as (

    select * from {{ ref('ports_daily') }}

),

newest as (

    select max(date) as newest_on from days

),

-- A day that the lake does not have says nothing about what was there before.
known as (

    select
        count(
            distinct case when days.date >= newest.newest_on - 7 then days.date end
        ) as days_known_of_7,
        count(distinct days.date) as days_known_of_30
    from days
    cross join newest
    where days.date < newest.newest_on and days.date >= newest.newest_on - 30

),

earlier as (

    select
        days.direction,
        days.protocol,
        days.port,
        max(days.date) as last_seen_on,
        sum(case when days.date >= newest.newest_on - 7 then 1 else 0 end) as days_seen_of_7,
        sum(case when days.date >= newest.newest_on - 7 then days.flows else 0 end) as flows_of_7,
        count(*) as days_seen_of_30
    from days
    cross join newest
    where days.date < newest.newest_on and days.date >= newest.newest_on - 30
    group by days.direction, days.protocol, days.port

)

select
    today.date,
    today.direction,
    today.protocol,
    today.port,
    today.service,
    today.is_excluded,
    today.flows,
    today.distinct_sources,
    earlier.last_seen_on,
    cast(known.days_known_of_7 as integer) as days_known_of_7,
    cast(known.days_known_of_30 as integer) as days_known_of_30,
    case
        when known.days_known_of_7 > 0
            then coalesce(earlier.flows_of_7, 0) / cast(known.days_known_of_7 as double)
    end as flows_a_day_before,
    case
        when known.days_known_of_7 > 0 then coalesce(earlier.days_seen_of_7, 0) = 0
    end as is_new_in_7_days,
    case
        when known.days_known_of_30 > 0 then earlier.days_seen_of_30 is null
    end as is_new_in_30_days
from days as today
inner join newest on today.date = newest.newest_on
cross join known
left join earlier
    on
        today.direction = earlier.direction
        and today.protocol = earlier.protocol
        and today.port = earlier.port
