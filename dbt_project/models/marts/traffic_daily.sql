select
    date,
    direction,
    decision,
    protocol,
    flow_type,
    is_malicious,
    encryption,
    subscription_id,
    own_region,
    country,
    remote_region,
    azure_service,
    {{ merged_sums() }}
from {{ ref('traffic_hourly') }}
group by
    date,
    direction,
    decision,
    protocol,
    flow_type,
    is_malicious,
    encryption,
    subscription_id,
    own_region,
    country,
    remote_region,
    azure_service
