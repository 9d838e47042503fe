-- What two interfaces claim on a day, such as a firewall and the machine behind it, is in neither.
with owners as (

    select
        date,
        ip,
        {{ only('vnet_id') }} as vnet_id,
        case when min(vnet_id) = max(vnet_id) then {{ only('subnet_id') }} end as subnet_id
    from {{ ref('hosts_daily') }}
    group by date, ip

)

select
    date,
    ip,
    coalesce(subnet_id, vnet_id) as network_id,
    {{ name_in('coalesce(subnet_id, vnet_id)') }} as network,
    {{ name_in('vnet_id') }} as vnet,
    {{ name_in('subnet_id') }} as subnet
from owners
