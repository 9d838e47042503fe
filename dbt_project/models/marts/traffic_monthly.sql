{{ config(materialized='view') }}

select
    cast(date_trunc('month', date) as date) as month_start,
    {{ traffic_dimensions() }},
    {{ merged_sums() }}
from {{ ref('traffic_daily') }}
group by
    cast(date_trunc('month', date) as date),
    {{ traffic_dimensions() }}
