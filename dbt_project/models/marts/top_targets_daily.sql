with flows as (

    select * from {{ ref('merged_flows') }}

),

by_target as (

    select
        date,
        dst_ip,
        sum(flows) as flows
    from flows
    group by date, dst_ip

),

ranked as (

    select
        date,
        dst_ip,
        row_number() over (partition by date order by flows desc, dst_ip asc) as rank
    from by_target

),

top as (

    select * from ranked where rank <= {{ top_n() }}

),

-- What is not at the top falls into one row with a null rank, so that totals add up.
labelled as (

    select
        flows.*,
        top.rank,
        top.dst_ip as ip
    from flows
    left join top
        on flows.date = top.date and flows.dst_ip = top.dst_ip

)

select
    date,
    cast(rank as integer) as rank,
    ip,
    {{ flow_measures() }},
    {{ complete_through() }} as complete_through
from labelled
group by date, rank, ip
