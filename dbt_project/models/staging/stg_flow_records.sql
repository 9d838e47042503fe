with source as (

    select * from {{ source('flow_logs', 'flow_records') }}

),

renamed as (

    select
        -- when
        flow_time,
        date,
        hour,

        -- who and what
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        protocol,
        direction,
        decision,
        flow_state,
        encryption,

        -- how much, since the flow's previous tuple
        packets_src_to_dst,
        bytes_src_to_dst,
        packets_dst_to_src,
        bytes_dst_to_src,

        -- by which rule, seen by whom
        rule,
        acl_id,
        flow_log_id,
        target_resource_id,
        mac,
        log_version,

        -- where it stands in the raw log
        record_time,
        source,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no

    from source

)

select * from renamed
