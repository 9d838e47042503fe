{{ config(materialized='view') }}

with places as (

    select
        ip,
        network,
        vnet
    from {{ ref('dim_ip') }}

),

pairs as (

    select * from {{ ref('pairs_daily') }}

),

placed as (

    select
        pairs.*,
        src.network as src_network,
        src.vnet as src_vnet,
        dst.network as dst_network,
        dst.vnet as dst_vnet
    from pairs
    left join places as src on pairs.src_ip = src.ip
    left join places as dst on pairs.dst_ip = dst.ip

)

select
    date,
    src_network,
    src_vnet,
    dst_network,
    dst_vnet,
    direction,
    decision,
    encryption,
    {{ merged_sums() }}
from placed
group by date, src_network, src_vnet, dst_network, dst_vnet, direction, decision, encryption
