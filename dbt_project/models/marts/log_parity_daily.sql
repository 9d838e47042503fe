{{ config(materialized='view') }}

with flows as (

    select
        *,
        {{ nic() }} as nic,
        case when log_version < 4 then 1 else 0 end as in_nsg,
        case when log_version = 4 then 1 else 0 end as in_vnet,
        coalesce(bytes_src_to_dst, 0) + coalesce(bytes_dst_to_src, 0) as bytes,
        case when decision = 'D' then 1 else 0 end as is_denied
    from {{ ref('fct_flows') }}

),

-- Outside of these hours one of the logs was not there, which says nothing about the other.
overlap as (

    select
        date,
        hour,
        nic,
        direction
    from flows
    group by date, hour, nic, direction
    having max(in_nsg) = 1 and max(in_vnet) = 1

),

connections as (

    select
        flows.date,
        flows.hour,
        flows.nic,
        flows.direction,
        max(flows.in_nsg) as in_nsg,
        max(flows.in_vnet) as in_vnet,
        sum(flows.in_nsg) as nsg_tuples,
        sum(flows.in_vnet) as vnet_tuples,
        sum(flows.in_nsg * flows.bytes) as nsg_bytes,
        sum(flows.in_vnet * flows.bytes) as vnet_bytes,
        max(flows.in_nsg * flows.is_denied) as nsg_denied,
        max(flows.in_vnet * flows.is_denied) as vnet_denied
    from flows
    inner join overlap
        on
            flows.date = overlap.date
            and flows.hour = overlap.hour
            and flows.nic = overlap.nic
            and flows.direction = overlap.direction
    group by
        flows.date, flows.hour, flows.nic, flows.direction,
        flows.src_ip, flows.dst_ip, flows.src_port, flows.dst_port, flows.protocol

)

select
    date,
    nic as mac,
    direction,
    cast(count(distinct hour) as integer) as hours_with_both,
    cast(sum(in_nsg * (1 - in_vnet)) as bigint) as nsg_only_connections,
    cast(sum(in_vnet * (1 - in_nsg)) as bigint) as vnet_only_connections,
    cast(sum(in_nsg * in_vnet) as bigint) as both_connections,
    cast(sum(nsg_tuples * (1 - in_vnet)) as bigint) as nsg_only_tuples,
    cast(sum(vnet_tuples * (1 - in_nsg)) as bigint) as vnet_only_tuples,
    cast(sum(nsg_tuples * in_vnet) as bigint) as both_nsg_tuples,
    cast(sum(vnet_tuples * in_nsg) as bigint) as both_vnet_tuples,
    cast(sum(nsg_bytes * (1 - in_vnet)) as bigint) as nsg_only_bytes,
    cast(sum(vnet_bytes * (1 - in_nsg)) as bigint) as vnet_only_bytes,
    cast(sum(nsg_bytes * in_vnet) as bigint) as both_nsg_bytes,
    cast(sum(vnet_bytes * in_nsg) as bigint) as both_vnet_bytes,
    cast(
        sum(case when in_nsg = 1 and in_vnet = 1 and nsg_denied <> vnet_denied then 1 else 0 end)
        as bigint
    ) as different_decisions
from connections
group by date, nic, direction
