{{ config(materialized='view') }}

with sources as (

    select
        *,
        false as is_without_bursts
    from {{ ref('sources_daily') }}

    union all

    select
        *,
        true as is_without_bursts
    from {{ ref('sources_daily') }}
    where not is_burst

),

ranked as (

    select
        date,
        is_without_bursts,
        flows,
        row_number() over (
            partition by date, is_without_bursts order by flows desc, src_ip asc
        ) as rank,
        cast(flows as double)
        / nullif(cast(sum(flows) over (partition by date, is_without_bursts) as double), 0) as part
    from sources

)

select
    date,
    is_without_bursts,
    cast(count(*) as bigint) as sources,
    cast(sum(flows) as bigint) as flows,
    sum(case when rank <= 1 then part end) as share_of_top_1,
    sum(case when rank <= 10 then part end) as share_of_top_10,
    sum(case when rank <= 100 then part end) as share_of_top_100,
    sum(part * part) as herfindahl
from ranked
group by date, is_without_bursts
