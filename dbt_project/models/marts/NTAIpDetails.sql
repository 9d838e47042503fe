{{ config(materialized='view') }}

-- The letters of the columns are Traffic Analytics'.
-- noqa: disable=CP02,RF04,AL09

select
    cast('NTAIpDetails' as varchar) as Type,
    cast('FlowLog' as varchar) as SubType,
    cast('3' as varchar) as FaSchemaVersion,
    cast(addresses.date as timestamp) + interval 1 day as TimeGenerated,
    cast(addresses.date as timestamp) as FlowIntervalStartTime,
    cast(addresses.date as timestamp) + interval 1 day as FlowIntervalEndTime,
    addresses.ip as Ip,
    case
        when addresses.address_class = 'azure' then 'AzurePublic'
        when addresses.malicious > 0 then 'MaliciousFlow'
        else 'ExternalPublic'
    end as FlowType,
    coalesce(addresses.azure_region, addresses.country) as Location,
    coalesce(addresses.azure_service, addresses.organisation) as PublicIpDetails,
    addresses.threat_type as ThreatType,
    addresses.threat_feed as ThreatDescription,
    cast(null as varchar) as DnsDomain,
    cast(null as varchar) as Url,
    cast(null as integer) as Port
from {{ ref('public_addresses_daily') }} as addresses
