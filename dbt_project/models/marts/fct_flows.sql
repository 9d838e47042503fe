with flows as (

    select * from {{ ref('stg_flow_records') }}

),

lookups as (

    select * from {{ ref('stg_ip_lookup') }}

),

services as (

    select * from {{ ref('services') }}

),

-- An address that two written hours hold counts as the newer of the two knew it.
newest_first as (

    select
        *,
        rank() over (partition by ip order by written_date desc, written_hour desc) as newness
    from lookups

),

addresses as (

    select * from newest_first where newness = 1

),

enriched as (

    select
        flows.*,
        src.country as src_country,
        dst.country as dst_country,
        src.threat_feed is not null or dst.threat_feed is not null as is_malicious,
        case when src.threat_feed is not null then src.threat_type else dst.threat_type end
            as threat_type,
        coalesce(src.threat_feed, dst.threat_feed) as threat_feed,
        services.service,
        -- Decided by a later model of networks; the column is part of the contract already.
        cast(null as varchar) as flow_type,
        case flows.log_version
            when 1 then true
            when 2 then coalesce(flows.flow_state = 'B', false)
            else flows.decision = 'D' or coalesce(flows.flow_state = 'B', false)
        end as is_new_flow
    from flows
    left join addresses as src
        on
            flows.src_ip = src.ip
            and (src.valid_from is null or flows.flow_time >= src.valid_from)
            and (src.valid_to is null or flows.flow_time < src.valid_to)
    left join addresses as dst
        on
            flows.dst_ip = dst.ip
            and (dst.valid_from is null or flows.flow_time >= dst.valid_from)
            and (dst.valid_to is null or flows.flow_time < dst.valid_to)
    left join services
        on flows.dst_port = services.port and flows.protocol = services.protocol

)

select
    flow_time,
    date,
    hour,
    src_ip,
    dst_ip,
    src_port,
    dst_port,
    protocol,
    direction,
    decision,
    flow_state,
    encryption,
    packets_src_to_dst,
    bytes_src_to_dst,
    packets_dst_to_src,
    bytes_dst_to_src,
    rule,
    acl_id,
    flow_log_id,
    target_resource_id,
    mac,
    log_version,
    record_time,
    source,
    blob,
    record_no,
    flow_no,
    group_no,
    tuple_no,
    src_country,
    dst_country,
    is_malicious,
    threat_type,
    threat_feed,
    service,
    flow_type,
    is_new_flow
from enriched
