-- Few ports come again within an hour, and only these are put in order. By a number, for texts cost
-- many times as much.
with repeated as (

    select
        date,
        hour,
        src_ip,
        src_port,
        dst_port
    from {{ ref('stg_flow_records') }}
    where {{ is_syn() }}
    group by date, hour, src_ip, src_port, dst_port
    having count(*) > 1

),

numbered as (

    select
        *,
        row_number() over (
            partition by date, hour
            order by src_ip, src_port, dst_port
        ) as ports_no
    from repeated

),

syns as (

    select
        date,
        hour,
        {{ milliseconds('flow_time') }} as sent_ms,
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        direction,
        decision,
        log_version,
        coalesce(case when log_version = 4 then flow_log_id else acl_id end, '') as log_id,
        coalesce(mac, '') as mac,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no
    from {{ ref('stg_flow_records') }}
    where {{ is_syn() }}

),

seen as (

    select distinct
        date,
        hour,
        dst_ip,
        direction,
        decision,
        log_version,
        coalesce(case when log_version = 4 then flow_log_id else acl_id end, '') as log_id,
        coalesce(mac, '') as mac,
        blob
    from {{ ref('stg_flow_records') }}
    where {{ is_syn() }}

),

vantages as (

    select
        *,
        dense_rank() over (
            partition by date, hour
            order by dst_ip, direction, decision, log_version, lower(log_id), upper(mac)
        ) as vantage_no,
        dense_rank() over (
            partition by date, hour
            order by blob
        ) as blob_no
    from seen

),

sent as (

    select
        syns.date,
        syns.hour,
        numbered.ports_no * 1000000000 + vantages.vantage_no as connection_no,
        syns.sent_ms,
        vantages.blob_no,
        syns.blob,
        syns.record_no,
        syns.flow_no,
        syns.group_no,
        syns.tuple_no
    from syns
    inner join numbered
        on
            syns.date = numbered.date
            and syns.hour = numbered.hour
            and syns.src_ip = numbered.src_ip
            and syns.src_port = numbered.src_port
            and syns.dst_port = numbered.dst_port
    inner join vantages
        on
            syns.date = vantages.date
            and syns.hour = vantages.hour
            and syns.dst_ip = vantages.dst_ip
            and syns.direction = vantages.direction
            and syns.decision = vantages.decision
            and syns.log_version = vantages.log_version
            and syns.log_id = vantages.log_id
            and syns.mac = vantages.mac
            and syns.blob = vantages.blob

),

in_order as (

    select
        *,
        row_number() over ordered as place,
        case
            when lag(connection_no, 1) over ordered = connection_no
                then lag(sent_ms, 1) over ordered
        end as last_ms,
        case
            when lag(connection_no, 2) over ordered = connection_no
                then lag(sent_ms, 2) over ordered
        end as last_but_one_ms
    from sent
    window ordered as (
        partition by date, hour
        order by connection_no, sent_ms, blob_no, record_no, flow_no, group_no, tuple_no
    )

),

-- A chain goes on with each wait that is longer than the one before; anything else begins one.
chains as (

    select
        *,
        max(
            case
                when
                    {{ is_longer_wait('(last_ms - last_but_one_ms)', '(sent_ms - last_ms)') }}
                    then null
                else place
            end
        ) over (
            partition by date, hour
            order by place
            rows between unbounded preceding and current row
        ) as chain_no
    from in_order

),

-- The first tuple of a connection is a chain by itself, which follows nothing.
retransmissions as (

    select
        date,
        hour,
        chain_no
    from chains
    group by date, hour, chain_no
    having
        min(sent_ms) - min(last_ms) {{ retransmitted_after() }}
        and max(sent_ms) - min(last_ms) <= {{ retransmitted_within() }}

)

select
    chains.date,
    chains.hour,
    chains.blob,
    chains.record_no,
    chains.flow_no,
    chains.group_no,
    chains.tuple_no
from chains
inner join retransmissions
    on
        chains.date = retransmissions.date
        and chains.hour = retransmissions.hour
        and chains.chain_no = retransmissions.chain_no
