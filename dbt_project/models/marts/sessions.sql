{{ config(materialized='view') }}

with states as (

    select * from {{ ref('session_states') }}

),

-- What was open at the end of an earlier hour stands again in a later one.
newest as (

    select max({{ hour_of('date', 'hour') }}) as newest_hour from states

)

select
    states.started_at,
    states.ended_at,
    states.duration_ms,
    states.date,
    states.hour,
    states.src_ip,
    states.dst_ip,
    states.src_port,
    states.dst_port,
    states.protocol,
    states.direction,
    states.is_open,
    states.ended_by,
    states.is_orphan,
    states.tuples,
    states.packets_src_to_dst,
    states.bytes_src_to_dst,
    states.packets_dst_to_src,
    states.bytes_dst_to_src,
    states.src_country,
    states.dst_country,
    states.is_malicious,
    states.threat_feed,
    states.service,
    states.flow_type,
    states.is_counted,
    states.encryption,
    states.rule,
    states.acl_id,
    states.flow_log_id,
    states.target_resource_id,
    states.mac,
    states.log_version,
    states.blob,
    states.record_no,
    states.flow_no,
    states.group_no,
    states.tuple_no
from states
cross join newest
where not states.is_open or {{ hour_of('states.date', 'states.hour') }} = newest.newest_hour
