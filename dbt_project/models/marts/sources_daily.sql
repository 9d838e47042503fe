with flows as (

    select * from {{ ref('merged_flows') }}
    where direction = 'I'

),

by_hour as (

    select
        date,
        hour,
        src_ip,
        max(src_country) as country,
        min(first_at) as first_at,
        max(last_at) as last_at,
        {{ measures_of_a_source() }}
    from flows
    group by date, hour, src_ip

),

strangers as (

    select * from by_hour
    where {{ is_internet('src_ip') }}

),

with_all as (

    select
        *,
        sum(flows) over (partition by date, hour) as flows_of_all
    from strangers

)

select
    date,
    src_ip,
    max(country) as country,
    max(case when malicious > 0 then 1 else 0 end) = 1 as is_malicious,
    {{ sums_of(['flows', 'tuples', 'attempts', 'allowed', 'denied', 'malicious']) }},
    min(first_at) as first_at,
    max(last_at) as last_at,
    cast(max(flows) as bigint) as most_in_an_hour,
    max(
        case
            when flows >= {{ burst_flows() }} and flows >= {{ burst_share() }} * flows_of_all then 1
            else 0
        end
    ) = 1 as is_burst
from with_all
group by date, src_ip
