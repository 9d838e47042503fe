with addresses as (

    select * from {{ ref('int_address_bits') }}

),

-- Feeds that are not set any more do not count, nor what was listed for no time at all.
entries as (

    select
        entries.feed,
        entries.entry,
        entries.listed_from,
        entries.listed_to,
        entries.threat_type,
        feeds.feed_rank,
        {{ address_of('entries.entry') }} as ip,
        {{ prefix_bits_count('entries.entry') }} as bits_count
    from {{ ref('stg_threat_entries') }} as entries
    inner join {{ ref('stg_threat_feeds') }} as feeds
        on entries.feed = feeds.feed
    where
        entries.listed_from is null
        or entries.listed_to is null
        or entries.listed_from < entries.listed_to

),

prefixes as (

    select
        entries.*,
        substr(addresses.bits, 1, entries.bits_count) as fixed_bits
    from entries
    inner join addresses
        on entries.ip = addresses.ip

),

lengths as (

    select distinct bits_count from prefixes

),

seen as (

    select distinct ip from {{ ref('stg_ip_lookup') }}

),

public_addresses as (

    select
        addresses.ip,
        addresses.bits
    from addresses
    inner join seen
        on addresses.ip = seen.ip
    where {{ is_public_bits('addresses.bits') }}

),

-- Equality finds the entries of an address: one key for each length that there is.
keys as (

    select
        public_addresses.ip,
        lengths.bits_count,
        substr(public_addresses.bits, 1, lengths.bits_count) as fixed_bits
    from public_addresses
    cross join lengths

)

select
    keys.ip,
    prefixes.feed,
    prefixes.feed_rank,
    prefixes.entry,
    prefixes.bits_count,
    prefixes.listed_from,
    prefixes.listed_to,
    prefixes.threat_type
from keys
inner join prefixes
    on
        keys.bits_count = prefixes.bits_count
        and keys.fixed_bits = prefixes.fixed_bits
