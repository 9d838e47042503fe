{{ config(materialized='view') }}

-- What two subscriptions claim on a day is nobody's for sure.
with owners as (

    select
        date,
        ip,
        {{ only('subscription_id') }} as subscription_id
    from {{ ref('hosts_daily') }}
    group by date, ip

),

pairs as (

    select * from {{ ref('pairs_daily') }}

),

owned as (

    select
        pairs.*,
        src.subscription_id as src_subscription_id,
        dst.subscription_id as dst_subscription_id
    from pairs
    left join owners as src on pairs.date = src.date and pairs.src_ip = src.ip
    left join owners as dst on pairs.date = dst.date and pairs.dst_ip = dst.ip

)

select
    date,
    direction,
    src_subscription_id,
    dst_subscription_id,
    src_subscription_id <> dst_subscription_id as is_crossing,
    {{ merged_sums() }}
from owned
group by date, direction, src_subscription_id, dst_subscription_id
