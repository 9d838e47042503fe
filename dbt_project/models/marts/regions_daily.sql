{{ config(materialized='view') }}

with places as (

    select
        ip,
        coalesce(azure_region, network_region) as region
    from {{ ref('dim_ip') }}

),

pairs as (

    select * from {{ ref('pairs_daily') }}

),

placed as (

    select
        pairs.*,
        src.region as src_region,
        dst.region as dst_region
    from pairs
    left join places as src on pairs.src_ip = src.ip
    left join places as dst on pairs.dst_ip = dst.ip

)

select
    date,
    direction,
    src_region,
    dst_region,
    src_region <> dst_region as is_crossing,
    {{ merged_sums() }}
from placed
group by date, direction, src_region, dst_region
