with by_source as (

    select
        date,
        direction,
        protocol,
        {{ is_excluded_port('dst_port') }} as is_excluded,
        src_ip,
        {{ measures_of_a_source() }}
    from {{ ref('merged_flows') }}
    group by date, direction, protocol, {{ is_excluded_port('dst_port') }}, src_ip

),

-- Sources do not add up, so that what is without the ports is counted beside what is with them.
with_and_without as (

    select
        *,
        true as has_excluded_ports
    from by_source

    union all

    select
        *,
        false as has_excluded_ports
    from by_source
    where not is_excluded

)

select
    date,
    direction,
    protocol,
    has_excluded_ports,
    {{ measures_of_sources() }}
from with_and_without
group by date, direction, protocol, has_excluded_ports
