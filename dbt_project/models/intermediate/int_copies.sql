with flows as (

    select
        *,
        {{ own_ip() }} as own_ip
    from {{ ref('stg_flow_records') }}

),

raw_own_ends as (

    select distinct
        date,
        hour,
        own_ip,
        direction,
        log_version,
        flow_log_id,
        case when log_version < 4 then acl_id end as acl_id,
        mac
    from flows

),

own_ends as (

    select distinct
        date,
        hour,
        own_ip,
        direction,
        {{ log_kind() }} as log_kind,
        {{ log_id() }} as log_id,
        {{ nic() }} as nic
    from raw_own_ends

),

-- From an address a connection can be logged where it is at the NIC's own end of outbound flows; to
-- an address where it is at that of inbound ones.
places as (

    select
        date,
        hour,
        own_ip,
        sum(case when direction = 'O' then 1 else 0 end) as from_it,
        sum(case when direction = 'I' then 1 else 0 end) as to_it
    from own_ends
    group by date, hour, own_ip

),

-- Nearly all flows come from the internet to one NIC, and can be logged there alone.
candidates as (

    select
        flows.date,
        flows.hour,
        flows.src_ip,
        flows.dst_ip,
        flows.src_port,
        flows.dst_port,
        flows.protocol,
        flows.direction,
        {{ log_kind() }} as log_kind,
        {{ log_id() }} as log_id,
        {{ nic() }} as nic,
        flows.own_ip,
        flows.decision,
        flows.bytes_src_to_dst,
        flows.bytes_dst_to_src,
        flows.flow_time,
        flows.blob,
        flows.record_no,
        flows.flow_no,
        flows.group_no,
        flows.tuple_no
    from flows
    left join places as src
        on
            flows.date = src.date
            and flows.hour = src.hour
            and flows.src_ip = src.own_ip
    left join places as dst
        on
            flows.date = dst.date
            and flows.hour = dst.hour
            and flows.dst_ip = dst.own_ip
    where coalesce(src.from_it, 0) + coalesce(dst.to_it, 0) > 1

),

nics as (

    select
        date,
        hour,
        nic,
        count(distinct own_ip) as own_ips
    from own_ends
    group by date, hour, nic

),

-- The owner of an address takes fewer for its own than whoever only passes on what others sent.
claims as (

    select distinct
        own_ends.date,
        own_ends.hour,
        own_ends.own_ip,
        own_ends.nic,
        nics.own_ips
    from own_ends
    inner join nics
        on
            own_ends.date = nics.date
            and own_ends.hour = nics.hour
            and own_ends.nic = nics.nic

),

owners as (

    select
        *,
        own_ips > min(own_ips) over (partition by date, hour, own_ip) as is_passing_on
    from claims

),

-- A vantage in each of its blobs, of which the hour's connection has one or two.
seen as (

    select
        date,
        hour,
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        protocol,
        log_kind,
        log_id,
        nic,
        direction,
        own_ip,
        blob,
        min(flow_time) as first_at,
        max(case when decision = 'D' then 1 else 0 end) as denials,
        max(
            case
                when coalesce(bytes_src_to_dst, 0) + coalesce(bytes_dst_to_src, 0) > 0 then 1
                else 0
            end
        ) as sizes
    from candidates
    group by
        date, hour, src_ip, dst_ip, src_port, dst_port, protocol,
        log_kind, log_id, nic, direction, own_ip, blob

),

vantages as (

    select
        seen.*,
        max(seen.denials) over vantage as has_denied,
        case when seen.log_kind = 'vnet' then 1 else max(seen.sizes) over vantage end as has_sizes,
        owners.is_passing_on or (
            min(seen.direction) over through_nic < max(seen.direction) over through_nic
        ) as is_hop
    from seen
    inner join owners
        on
            seen.date = owners.date
            and seen.hour = owners.hour
            and seen.own_ip = owners.own_ip
            and seen.nic = owners.nic
    window
        vantage as (
            partition by
                seen.date, seen.hour, seen.src_ip, seen.dst_ip, seen.src_port, seen.dst_port,
                seen.protocol, seen.nic, seen.log_kind, seen.log_id, seen.direction
        ),
        through_nic as (
            partition by
                seen.date, seen.hour, seen.src_ip, seen.dst_ip, seen.src_port, seen.dst_port,
                seen.protocol, seen.nic
        )

),

counted as (

    select
        *,
        first_value(log_kind) over best_first as counted_log_kind,
        first_value(log_id) over best_first as counted_log_id,
        first_value(nic) over best_first as counted_nic,
        first_value(direction) over best_first as counted_direction,
        first_value(blob) over best_first as counted_blob
    from vantages
    window best_first as (
        partition by date, hour, src_ip, dst_ip, src_port, dst_port, protocol
        order by
            has_denied desc, log_kind desc, is_hop asc, has_sizes desc, direction asc,
            log_id asc, nic asc, first_at asc, blob asc
    )

),

copies as (

    select
        *,
        case
            when nic = counted_nic and direction = counted_direction
                then
                    case
                        when log_kind = counted_log_kind and log_kind = 'nsg' then 'other_acl'
                        else 'other_log'
                    end
            when is_hop then 'hop'
            else 'other_end'
        end as copy_kind
    from counted
    where
        log_kind <> counted_log_kind
        or log_id <> counted_log_id
        or nic <> counted_nic
        or direction <> counted_direction

)

select
    candidates.date,
    candidates.hour,
    candidates.blob,
    candidates.record_no,
    candidates.flow_no,
    candidates.group_no,
    candidates.tuple_no,
    copies.copy_kind,
    copies.counted_blob as copy_of
from candidates
inner join copies
    on
        candidates.date = copies.date
        and candidates.hour = copies.hour
        and candidates.src_ip = copies.src_ip
        and candidates.dst_ip = copies.dst_ip
        and candidates.src_port = copies.src_port
        and candidates.dst_port = copies.dst_port
        and candidates.protocol = copies.protocol
        and candidates.log_kind = copies.log_kind
        and candidates.log_id = copies.log_id
        and candidates.nic = copies.nic
        and candidates.direction = copies.direction
        and candidates.blob = copies.blob
