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
matched as (

    select
        addresses.ip,
        prefixes.prefix,
        prefixes.reason,
        row_number() over (
            partition by addresses.ip
            order by prefixes.bits_count desc
        ) as place
    from addresses
    cross join lengths
    inner join prefixes
        on
            lengths.bits_count = prefixes.bits_count
            and substr(addresses.bits, 1, lengths.bits_count) = prefixes.fixed_bits

)

select
    ip,
    prefix,
    reason
from matched
where place = 1
