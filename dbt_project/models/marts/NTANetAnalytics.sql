{{ config(materialized='view') }}

-- The letters of the columns are Traffic Analytics'.
-- noqa: disable=CP02,RF04,AL09

with places as (

    select
        ip,
        country,
        azure_region,
        coalesce(network_region, azure_region) as region,
        case when network_kind = 'subnet' then network end as subnet,
        case when network is null then {{ private_ip() }} end as unlisted_ip
    from {{ ref('dim_ip') }}

),

owns as (

    select * from {{ ref('int_own_networks') }}

),

merged as (

    select
        *,
        {{ hour_of('date', 'hour') }} as interval_start,
        -- Their names for what we tell apart.
        case flow_type
            when 'AzurePlatform' then 'AzurePublic'
            when 'KnownPrivate' then 'UnknownPrivate'
            when 'OwnPublic' then 'ExternalPublic'
            when 'Multicast' then 'Unknown'
            when 'CarrierGrade' then 'Unknown'
            else flow_type
        end as their_flow_type
    from {{ ref('merged_flows') }}

)

select
    cast('NTANetAnalytics' as varchar) as Type,
    cast('FlowLog' as varchar) as SubType,
    cast('3' as varchar) as FaSchemaVersion,
    merged.interval_start + interval 1 hour as TimeGenerated,
    cast(null as timestamp) as TimeProcessed,
    merged.interval_start as FlowIntervalStartTime,
    merged.interval_start + interval 1 hour as FlowIntervalEndTime,
    merged.first_at as FlowStartTime,
    coalesce(merged.last_begin_at, merged.last_at) as FlowEndTime,
    merged.their_flow_type as FlowType,
    merged.src_ip as SrcIp,
    merged.dst_ip as DestIp,
    cast(null as varchar) as SrcPublicIps,
    cast(null as varchar) as DestPublicIps,
    cast(null as varchar) as SrcPorts,
    merged.dst_port as DestPort,
    case merged.protocol when 6 then 'T' when 17 then 'U' else cast(merged.protocol as varchar) end
        as L4Protocol,
    merged.service as L7Protocol,
    case merged.direction when 'I' then 'Inbound' else 'Outbound' end as FlowDirection,
    case merged.decision when 'A' then 'Allowed' else 'Denied' end as FlowStatus,
    merged.encryption as FlowEncryption,
    merged.mac as MacAddress,
    merged.acl_id as AclGroup,
    merged.rule as AclRule,
    case when not merged.is_vnet_log then merged.acl_id end as NsgList,
    case when not merged.is_vnet_log then merged.rule end as NsgRule,
    cast(null as varchar) as NsgRuleType,
    merged.flow_log_id as FlowLogResourceId,
    merged.target_resource_id as TargetResourceId,
    case
        when merged.target_resource_id like '%/subnets/%' then 'SUBNET'
        when merged.target_resource_id like '%/virtualnetworks/%' then 'VNET'
        when merged.target_resource_id like '%/networkinterfaces/%' then 'NIC'
    end as TargetResourceType,
    case when merged.direction = 'I' then src.country else dst.country end as Country,
    case when merged.direction = 'I' then src.azure_region else dst.azure_region end
        as AzureRegion,
    src.region as SrcRegion,
    dst.region as DestRegion,
    coalesce(src.subnet, own_src.subnet) as SrcSubnet,
    coalesce(dst.subnet, own_dst.subnet) as DestSubnet,
    case when merged.direction = 'O' then merged.subscription_id end as SrcSubscription,
    case when merged.direction = 'I' then merged.subscription_id end as DestSubscription,
    case when merged.direction = 'I' and merged.decision = 'A' then merged.flows else 0 end
        as AllowedInFlows,
    case when merged.direction = 'I' and merged.decision = 'D' then merged.flows else 0 end
        as DeniedInFlows,
    case when merged.direction = 'O' and merged.decision = 'A' then merged.flows else 0 end
        as AllowedOutFlows,
    case when merged.direction = 'O' and merged.decision = 'D' then merged.flows else 0 end
        as DeniedOutFlows,
    merged.completed as CompletedFlows,
    merged.packets_src_to_dst as PacketsSrcToDest,
    merged.packets_dst_to_src as PacketsDestToSrc,
    merged.bytes_src_to_dst as BytesSrcToDest,
    merged.bytes_dst_to_src as BytesDestToSrc,
    cast(null as boolean) as IsFlowCapturedAtUdrHop,
    cast(null as varchar) as SrcVm,
    cast(null as varchar) as DestVm,
    cast(null as varchar) as SrcNic,
    cast(null as varchar) as DestNic,
    cast(null as varchar) as SrcApplicationGateway,
    cast(null as varchar) as DestApplicationGateway,
    cast(null as varchar) as SrcLoadBalancer,
    cast(null as varchar) as DestLoadBalancer,
    cast(null as varchar) as SrcLocalNetworkGateway,
    cast(null as varchar) as DestLocalNetworkGateway,
    cast(null as varchar) as SrcExpressRouteCircuit,
    cast(null as varchar) as DestExpressRouteCircuit,
    cast(null as varchar) as ExpressRouteCircuitPeeringType,
    cast(null as varchar) as ConnectionName,
    cast(null as varchar) as ConnectionType,
    cast(null as varchar) as ConnectingVnets,
    cast(null as varchar) as Status
from merged
left join places as src on merged.src_ip = src.ip
left join places as dst on merged.dst_ip = dst.ip
left join owns as own_src on merged.date = own_src.date and src.unlisted_ip = own_src.ip
left join owns as own_dst on merged.date = own_dst.date and dst.unlisted_ip = own_dst.ip
