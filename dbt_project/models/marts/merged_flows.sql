with merged as (

    select
        date,
        hour,
        src_ip,
        dst_ip,
        dst_port,
        protocol,
        direction,
        decision,
        lower(acl_id) as acl_id,
        rule,
        upper(mac) as mac,
        log_version = 4 as is_vnet_log,
        lower(flow_log_id) as flow_log_id,
        lower(target_resource_id) as target_resource_id,
        encryption,
        flow_type,
        is_malicious,
        max(service) as service,
        max(src_country) as src_country,
        max(dst_country) as dst_country,
        max(threat_type) as threat_type,
        max(threat_feed) as threat_feed,
        sum(case when is_new_flow then 1 else 0 end) as flows,
        count(*) as tuples,
        sum(case when is_attempt then 1 else 0 end) as attempts,
        sum(case when is_new_flow and is_counted then 1 else 0 end) as counted,
        sum(case when is_new_flow and is_malicious then 1 else 0 end) as malicious,
        sum(case when flow_state = 'E' then 1 else 0 end) as completed,
        sum(packets_src_to_dst) as packets_src_to_dst,
        sum(bytes_src_to_dst) as bytes_src_to_dst,
        sum(packets_dst_to_src) as packets_dst_to_src,
        sum(bytes_dst_to_src) as bytes_dst_to_src,
        sum(
            case
                when is_counted
                    then
                        coalesce(
                            bytes_src_to_dst + bytes_dst_to_src, bytes_src_to_dst, bytes_dst_to_src
                        )
            end
        ) as counted_bytes,
        min(flow_time) as first_at,
        max(flow_time) as last_at,
        max(case when is_new_flow then flow_time end) as last_begin_at
    from {{ ref('fct_flows') }}
    group by
        date,
        hour,
        src_ip,
        dst_ip,
        dst_port,
        protocol,
        direction,
        decision,
        lower(acl_id),
        rule,
        upper(mac),
        log_version = 4,
        lower(flow_log_id),
        lower(target_resource_id),
        encryption,
        flow_type,
        is_malicious

)

select
    date,
    hour,
    src_ip,
    dst_ip,
    dst_port,
    protocol,
    direction,
    decision,
    acl_id,
    rule,
    mac,
    is_vnet_log,
    flow_log_id,
    target_resource_id,
    {{ subscription_of('target_resource_id', 'acl_id', 'flow_log_id') }} as subscription_id,
    encryption,
    flow_type,
    is_malicious,
    service,
    src_country,
    dst_country,
    threat_type,
    threat_feed,
    cast(flows as bigint) as flows,
    cast(tuples as bigint) as tuples,
    cast(attempts as bigint) as attempts,
    cast(counted as bigint) as counted,
    cast(malicious as bigint) as malicious,
    cast(completed as bigint) as completed,
    cast(packets_src_to_dst as bigint) as packets_src_to_dst,
    cast(bytes_src_to_dst as bigint) as bytes_src_to_dst,
    cast(packets_dst_to_src as bigint) as packets_dst_to_src,
    cast(bytes_dst_to_src as bigint) as bytes_dst_to_src,
    cast(counted_bytes as bigint) as counted_bytes,
    first_at,
    last_at,
    last_begin_at
from merged
