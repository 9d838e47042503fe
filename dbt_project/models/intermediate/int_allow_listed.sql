with addresses as (

    select * from {{ ref('int_address_bits') }}

),

allowed as (

    select
        prefix,
        reason,
        {{ address_of('prefix') }} as ip,
        {{ prefix_bits_count('prefix') }} as bits_count
    from {{ ref('stg_allow_list') }}

),

prefixes as (

    select
        allowed.prefix,
        allowed.reason,
        allowed.bits_count,
        substr(addresses.bits, 1, allowed.bits_count) as fixed_bits
    from allowed
    inner join addresses
        on allowed.ip = addresses.ip

),

lengths as (

    select distinct bits_count from prefixes

),

-- Equality finds the prefixes of an address: one key for each length that there is.
keys as (

    select
        addresses.ip,
        lengths.bits_count,
        substr(addresses.bits, 1, lengths.bits_count) as fixed_bits
    from addresses
    cross join lengths

),

matched as (

    select
        keys.ip,
        prefixes.prefix,
        prefixes.reason,
        row_number() over (
            partition by keys.ip
            order by prefixes.bits_count desc
        ) as place
    from keys
    inner join prefixes
        on
            keys.bits_count = prefixes.bits_count
            and keys.fixed_bits = prefixes.fixed_bits

)

select
    ip,
    prefix,
    reason
from matched
where place = 1
