{{ config(materialized='view') }}

with listings as (

    select * from {{ ref('int_threat_listings') }}

),

allowed as (

    select * from {{ ref('int_allow_listed') }}

),

-- Those that list the address when a listing ends; if it has not ended, those that list it now.
agreeing as (

    select
        listings.ip,
        listings.feed,
        listings.entry,
        listings.listed_from,
        listings.threat_type,
        count(distinct co_listings.feed) as feed_count
    from listings
    inner join listings as co_listings
        on
            listings.ip = co_listings.ip
            and (
                co_listings.listed_to is null
                or (listings.listed_to is not null and listings.listed_to <= co_listings.listed_to)
            )
            and (
                co_listings.listed_from is null
                or listings.listed_to is null
                or listings.listed_to > co_listings.listed_from
            )
    group by all

)

select
    listings.ip,
    listings.feed,
    listings.entry,
    listings.listed_from,
    listings.listed_to,
    listings.threat_type,
    listings.listed_to is null as is_listed_now,
    listings.feed_rank,
    cast(agreeing.feed_count as integer) as feeds,
    allowed.ip is not null as is_allow_listed,
    allowed.reason as allow_list_reason
from listings
inner join agreeing
    on
        listings.ip = agreeing.ip
        and listings.feed = agreeing.feed
        and listings.entry = agreeing.entry
        and listings.listed_from is not distinct from agreeing.listed_from
        and listings.threat_type is not distinct from agreeing.threat_type
left join allowed
    on listings.ip = allowed.ip
