with addresses as (

    select ip from {{ ref('stg_ip_lookup') }}

    union distinct

    select {{ address_of('entry') }} as ip from {{ ref('stg_threat_entries') }}

    union distinct

    select {{ address_of('prefix') }} as ip from {{ ref('stg_allow_list') }}

),

ipv6 as (

    select
        ip,
        split_part(ip, '::', 1) as before_zeros,
        split_part(ip, '::', 2) as after_zeros
    from addresses
    -- An IPv4 address in IPv6's clothes is in no feed and in no allow-list.
    where ip like '%:%' and ip not like '%.%'

),

ipv6_counted as (

    select
        *,
        {{ groups_of('before_zeros') }} as groups_before,
        {{ groups_of('after_zeros') }} as groups_after
    from ipv6

),

-- The zeros that `::` stands for; a colon too many at the end does no harm.
ipv6_groups as (

    select
        ip,
        concat(
            before_zeros,
            case when groups_before = 0 then '' else ':' end,
            repeat('0:', 8 - groups_before - groups_after),
            after_zeros
        ) as ip_groups
    from ipv6_counted

),

ipv6_digits as (

    select
        ip,
        concat(
            lpad(split_part(ip_groups, ':', 1), 4, '0'),
            lpad(split_part(ip_groups, ':', 2), 4, '0'),
            lpad(split_part(ip_groups, ':', 3), 4, '0'),
            lpad(split_part(ip_groups, ':', 4), 4, '0'),
            lpad(split_part(ip_groups, ':', 5), 4, '0'),
            lpad(split_part(ip_groups, ':', 6), 4, '0'),
            lpad(split_part(ip_groups, ':', 7), 4, '0'),
            lpad(split_part(ip_groups, ':', 8), 4, '0')
        ) as digits
    from ipv6_groups

)

select
    ip,
    concat(
        '4',
        lpad(bin(cast(split_part(ip, '.', 1) as bigint)), 8, '0'),
        lpad(bin(cast(split_part(ip, '.', 2) as bigint)), 8, '0'),
        lpad(bin(cast(split_part(ip, '.', 3) as bigint)), 8, '0'),
        lpad(bin(cast(split_part(ip, '.', 4) as bigint)), 8, '0')
    ) as bits
from addresses
where ip not like '%:%'

union all

select
    ip,
    concat('6', {{ hex_bits('digits') }}) as bits
from ipv6_digits
