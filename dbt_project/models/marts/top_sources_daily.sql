with flows as (

    select * from {{ ref('merged_flows') }}

),

by_source as (

    select
        date,
        src_ip,
        sum(flows) as flows,
        max(src_country) as country,
        max(case when is_malicious then 1 else 0 end) = 1 as is_malicious
    from flows
    group by date, src_ip

),

ranked as (

    select
        date,
        src_ip,
        country,
        is_malicious,
        row_number() over (partition by date order by flows desc, src_ip asc) as rank
    from by_source

),

top as (

    select * from ranked where rank <= {{ top_n() }}

),

-- What is not at the top falls into one row with a null rank, so that totals add up.
labelled as (

    select
        flows.*,
        top.rank,
        top.src_ip as ip,
        top.country,
        top.is_malicious as is_malicious_source
    from flows
    left join top
        on flows.date = top.date and flows.src_ip = top.src_ip

)

select
    date,
    cast(rank as integer) as rank,
    ip,
    country,
    is_malicious_source as is_malicious,
    {{ flow_measures() }},
    {{ complete_through() }} as complete_through
from labelled
group by date, rank, ip, country, is_malicious_source
