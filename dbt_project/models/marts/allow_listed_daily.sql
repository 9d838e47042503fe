{{ config(materialized='view') }}

with flows as (

    select * from {{ ref('merged_flows') }}

),

allowed as (

    select * from {{ ref('int_allow_listed') }}

),

labelled as (

    select
        flows.*,
        coalesce(src.ip, dst.ip) is not null as is_allow_listed,
        -- The source's reason, where there are two.
        coalesce(src.reason, dst.reason) as allow_list_reason
    from flows
    left join allowed as src
        on flows.src_ip = src.ip
    left join allowed as dst
        on flows.dst_ip = dst.ip

)

select
    date,
    is_allow_listed,
    allow_list_reason,
    {{ flow_measures() }}
from labelled
group by date, is_allow_listed, allow_list_reason
