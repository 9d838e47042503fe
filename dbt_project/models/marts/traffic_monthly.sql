{{ config(materialized='view') }}

select
    cast(date_trunc('month', date) as date) as month_start,
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
from {{ ref('traffic_daily') }}
group by
    cast(date_trunc('month', date) as date),
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
