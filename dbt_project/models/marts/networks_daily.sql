{{ config(materialized='view') }}

with places as (

    select
        ip,
        network,
        network_kind,
        vnet,
        {{ private_ip() }} as private_ip
    from {{ ref('dim_ip') }}

),

owns as (

    select * from {{ ref('int_own_networks') }}

),

pairs as (

    select * from {{ ref('pairs_daily') }}

),

placed as (

    select
        pairs.*,
        {{ network_of('src') }},
        {{ network_of('dst') }}
    from pairs
    left join places as src on pairs.src_ip = src.ip
    left join places as dst on pairs.dst_ip = dst.ip
    left join owns as own_src on pairs.date = own_src.date and src.private_ip = own_src.ip
    left join owns as own_dst on pairs.date = own_dst.date and dst.private_ip = own_dst.ip

)

select
    date,
    src_network,
    src_vnet,
    src_network_from,
    src_network_id,
    dst_network,
    dst_vnet,
    dst_network_from,
    dst_network_id,
    direction,
    decision,
    encryption,
    {{ merged_sums() }}
from placed
group by
    date,
    src_network,
    src_vnet,
    src_network_from,
    src_network_id,
    dst_network,
    dst_vnet,
    dst_network_from,
    dst_network_id,
    direction,
    decision,
    encryption
