with tuples as (

    -- Denied tuples and those of version 1 have no state that begins, goes on or ends.
    select * from {{ ref('fct_flows') }}
    where decision = 'A' and flow_state is not null

),

-- No staging view stands between: these are rows of this very table, as the hour before left them.
open_before as (

    select * from {{ source('flow_logs', 'open_sessions') }}

),

-- A tuple is a piece of a session, and so is all that was known of it before the hour.
pieces as (

    select
        flow_time as started_at,
        flow_time as ended_at,
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        protocol,
        direction,
        flow_state,
        flow_state <> 'B' as is_orphan,
        cast(1 as bigint) as tuples,
        cast(1 as bigint) as hour_tuples,
        packets_src_to_dst,
        bytes_src_to_dst,
        packets_dst_to_src,
        bytes_dst_to_src,
        src_country,
        dst_country,
        is_malicious,
        threat_feed,
        service,
        flow_type,
        is_counted,
        encryption,
        rule,
        acl_id,
        flow_log_id,
        target_resource_id,
        mac,
        log_version,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no
    from tuples

    union all

    select
        started_at,
        ended_at,
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        protocol,
        direction,
        cast(null as varchar) as flow_state,
        is_orphan,
        tuples,
        cast(0 as bigint) as hour_tuples,
        packets_src_to_dst,
        bytes_src_to_dst,
        packets_dst_to_src,
        bytes_dst_to_src,
        src_country,
        dst_country,
        is_malicious,
        threat_feed,
        service,
        flow_type,
        is_counted,
        encryption,
        rule,
        acl_id,
        flow_log_id,
        target_resource_id,
        mac,
        log_version,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no
    from open_before

),

numbered as (

    select
        *,
        {{ any_row_no() }} as row_no
    from pieces

),

-- What one machine's one log says of one five-tuple: the wide keys are sorted by once, here. What
-- only describes a session stays behind, because rows cost as much to sort as they are wide.
in_order as (

    select
        started_at,
        ended_at,
        flow_state,
        tuples,
        hour_tuples,
        packets_src_to_dst,
        bytes_src_to_dst,
        packets_dst_to_src,
        bytes_dst_to_src,
        is_malicious,
        threat_feed,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no,
        first_value(row_no) over vantage as vantage_no,
        row_number() over vantage as piece_no,
        lag(flow_state) over vantage as state_before,
        lag(ended_at) over vantage as ended_before,
        lead(flow_state) over vantage as next_state,
        lead(started_at) over vantage as next_at
    from numbered
    window
        vantage as (
            partition by
                src_ip,
                dst_ip,
                src_port,
                dst_port,
                protocol,
                direction,
                upper(mac),
                log_version = 4,
                lower(coalesce(flow_log_id, acl_id))
            order by ended_at, blob, record_no, flow_no, group_no, tuple_no
        )

),

-- How a piece begins a session, and how one ends with it, are the same seen from two sides.
bounded as (

    select
        *,
        coalesce(
            ended_before is null
            or flow_state = 'B'
            or state_before = 'E'
            or started_at > ended_before + {{ session_timeout() }},
            false
        ) as is_first,
        case
            when flow_state = 'E' then 'end'
            when
                coalesce(next_at, {{ event_hour() }} + interval 1 hour)
                > ended_at + {{ session_timeout() }}
                then 'silence'
            when next_state = 'B' then 'new_begin'
        end as ended_by
    from in_order

),

of_session as (

    select
        *,
        sum(case when is_first then 1 else 0 end) over (
            partition by vantage_no
            order by piece_no
            rows between unbounded preceding and current row
        ) as session_no
    from bounded

),

-- Each with the place of its first piece.
sessions as (

    select
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        max(ended_by) as ended_by,
        sum(tuples) as tuples,
        sum(hour_tuples) as hour_tuples,
        sum(packets_src_to_dst) as packets_src_to_dst,
        sum(bytes_src_to_dst) as bytes_src_to_dst,
        sum(packets_dst_to_src) as packets_dst_to_src,
        sum(bytes_dst_to_src) as bytes_dst_to_src,
        max(is_malicious) as is_malicious,
        max(threat_feed) as threat_feed,
        {{ of_first('blob') }},
        {{ of_first('record_no') }},
        {{ of_first('flow_no') }},
        {{ of_first('group_no') }},
        {{ of_first('tuple_no') }}
    from of_session
    group by vantage_no, session_no

)

select
    sessions.started_at,
    sessions.ended_at,
    cast(
        {{ milliseconds_between('sessions.started_at', 'sessions.ended_at') }} as bigint
    ) as duration_ms,
    cast({{ event_hour() }} as date) as date, -- noqa: RF04
    cast(extract(hour from {{ event_hour() }}) as integer) as hour, -- noqa: RF04
    pieces.src_ip,
    pieces.dst_ip,
    pieces.src_port,
    pieces.dst_port,
    pieces.protocol,
    pieces.direction,
    sessions.ended_by is null as is_open,
    sessions.ended_by,
    pieces.is_orphan,
    cast(sessions.tuples as bigint) as tuples,
    cast(sessions.hour_tuples as bigint) as hour_tuples,
    cast(sessions.packets_src_to_dst as bigint) as packets_src_to_dst,
    cast(sessions.bytes_src_to_dst as bigint) as bytes_src_to_dst,
    cast(sessions.packets_dst_to_src as bigint) as packets_dst_to_src,
    cast(sessions.bytes_dst_to_src as bigint) as bytes_dst_to_src,
    pieces.src_country,
    pieces.dst_country,
    sessions.is_malicious,
    sessions.threat_feed,
    pieces.service,
    pieces.flow_type,
    pieces.is_counted,
    pieces.encryption,
    pieces.rule,
    pieces.acl_id,
    pieces.flow_log_id,
    pieces.target_resource_id,
    pieces.mac,
    pieces.log_version,
    pieces.blob,
    pieces.record_no,
    pieces.flow_no,
    pieces.group_no,
    pieces.tuple_no
from sessions
inner join pieces
    on
        sessions.blob = pieces.blob
        and sessions.record_no = pieces.record_no
        and sessions.flow_no = pieces.flow_no
        and sessions.group_no = pieces.group_no
        and sessions.tuple_no = pieces.tuple_no
