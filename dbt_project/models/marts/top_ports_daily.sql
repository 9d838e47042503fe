with flows as (

    select
        *,
        {{ is_excluded_port('dst_port') }} as is_left_out
    from {{ ref('merged_flows') }}

),

by_port as (

    select
        date,
        dst_port,
        protocol,
        sum(flows) as flows
    from flows
    where not is_left_out
    group by date, dst_port, protocol

),

ranked as (

    select
        date,
        dst_port,
        protocol,
        row_number() over (
            partition by date order by flows desc, dst_port asc, protocol asc
        ) as rank
    from by_port

),

top as (

    select * from ranked where rank <= {{ top_n() }}

),

-- What is not at the top falls into one row with a null rank, so that totals add up.
labelled as (

    select
        flows.*,
        top.rank,
        top.dst_port as port,
        top.protocol as port_protocol,
        case when top.rank is not null then flows.service end as port_service
    from flows
    left join top
        on
            flows.date = top.date
            and flows.dst_port = top.dst_port
            and flows.protocol = top.protocol

)

select
    date,
    cast(rank as integer) as rank,
    port,
    port_protocol as protocol,
    port_service as service,
    {{ flow_measures() }},
    {{ complete_through() }} as complete_through
from labelled
group by date, rank, port, port_protocol, port_service
