{#- Measures of merged flows and of all that is made of them; every one of them adds up. -#}

{#- The subscription of the network or interface that was logged, in lower case: VNet flow logs name
    the resource, NSG flow logs the NSG, and both flow logs and blobs of old the flow log. -#}
{% macro subscription_of(target_resource_id, acl_id, flow_log_id) -%}
coalesce(
        nullif(regexp_extract({{ target_resource_id }}, '^/?subscriptions/([^/]+)', 1), ''),
        nullif(regexp_extract({{ acl_id }}, '^/?subscriptions/([^/]+)', 1), ''),
        nullif(regexp_extract({{ flow_log_id }}, '^/?subscriptions/([^/]+)', 1), '')
    )
{%- endmacro %}

{#- Sums of what merged_flows counted. -#}
{% macro merged_sums() -%}
cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(attempts) as bigint) as attempts,
    cast(sum(counted) as bigint) as counted,
    cast(sum(malicious) as bigint) as malicious,
    cast(sum(completed) as bigint) as completed,
    cast(sum(packets_src_to_dst) as bigint) as packets_src_to_dst,
    cast(sum(bytes_src_to_dst) as bigint) as bytes_src_to_dst,
    cast(sum(packets_dst_to_src) as bigint) as packets_dst_to_src,
    cast(sum(bytes_dst_to_src) as bigint) as bytes_dst_to_src,
    cast(sum(counted_bytes) as bigint) as counted_bytes
{%- endmacro %}
