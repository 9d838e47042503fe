with flows as (

    select
        date,
        hour,
        coalesce(mac, '') as mac,
        dst_ip as ip,
        src_ip,
        first_at,
        last_at,
        flows
    from {{ ref('merged_flows') }}
    where direction = 'I'

),

-- Within an hour nobody is away for an hour, so that whole hours are enough to find who was.
by_hour as (

    select
        date,
        mac,
        ip,
        src_ip,
        min(first_at) as first_at,
        max(last_at) as last_at,
        sum(flows) as flows
    from flows
    group by date, hour, mac, ip, src_ip

),

visits as (

    select
        *,
        lag(last_at) over (partition by date, mac, ip, src_ip order by first_at) as left_at
    from by_hour

)

select
    date,
    mac,
    ip,
    src_ip,
    min(first_at) as first_at,
    max(last_at) as last_at,
    min(case when first_at >= left_at + {{ away() }} then first_at end) as returned_at,
    cast(sum(flows) as bigint) as flows
from visits
where {{ is_internet('src_ip') }}
group by date, mac, ip, src_ip
