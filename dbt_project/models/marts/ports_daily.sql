with by_source as (

    select
        date,
        direction,
        dst_port,
        protocol,
        service,
        src_ip,
        {{ measures_of_a_source() }}
    from {{ ref('merged_flows') }}
    group by date, direction, dst_port, protocol, service, src_ip

)

select
    date,
    direction,
    protocol,
    dst_port as port,
    service,
    {{ is_excluded_port('dst_port') }} as is_excluded,
    {{ measures_of_sources() }}
from by_source
group by date, direction, protocol, dst_port, service
