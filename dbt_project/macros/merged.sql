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

{#- Sums of columns that add up, under their own names. -#}
{% macro sums_of(columns) -%}
{%- for column in columns %}
    {%- if not loop.first %},
    {% endif %}cast(sum({{ column }}) as bigint) as {{ column }}
{%- endfor %}
{%- endmacro %}

{#- Sums of what merged_flows counted. -#}
{% macro merged_sums() -%}
{{ sums_of([
    'flows', 'tuples', 'attempts', 'counted', 'malicious', 'completed', 'packets_src_to_dst',
    'bytes_src_to_dst', 'packets_dst_to_src', 'bytes_dst_to_src', 'counted_bytes',
]) }}
{%- endmacro %}

{#- New flows in against out, allowed against denied. -#}
{% macro sums_by_way() -%}
{%- set ways = {
    'allowed_in': ('I', 'A'), 'denied_in': ('I', 'D'), 'allowed_out': ('O', 'A'), 'denied_out': ('O', 'D')
} -%}
{%- for name, way in ways.items() %}
    {%- if not loop.first %},
    {% endif %}cast(
        sum(case when direction = '{{ way[0] }}' and decision = '{{ way[1] }}' then flows else 0 end) as bigint
    ) as {{ name }}
{%- endfor %}
{%- endmacro %}

{#- What tells the rows of traffic_hourly, _daily and _monthly apart, but their time. -#}
{% macro traffic_dimensions() -%}
direction,
    decision,
    protocol,
    flow_type,
    is_malicious,
    encryption,
    subscription_id,
    own_region,
    country,
    remote_region,
    azure_service
{%- endmacro %}
