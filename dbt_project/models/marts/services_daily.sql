with by_source as (

    select
        date,
        direction,
        protocol,
        service,
        {{ is_excluded_port('dst_port') }} as is_excluded,
        src_ip,
        {{ measures_of_a_source() }}
    from {{ ref('merged_flows') }}
    group by date, direction, protocol, service, {{ is_excluded_port('dst_port') }}, src_ip

)

select
    date,
    direction,
    protocol,
    service,
    is_excluded,
    {{ measures_of_sources() }}
from by_source
group by date, direction, protocol, service, is_excluded
