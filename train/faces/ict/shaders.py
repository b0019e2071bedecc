"""GLSL for the renderer. Shading is deferred: a first pass writes surface attributes, a second lights each pixel once.

Faces have many small triangles, and the software rasterizer shades whole 4x4 blocks for each, so lighting in the first
pass would be computed several times per pixel.
"""

SURFACE_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;   // camera frame, cm
in vec4 shading;    // normal times ambient visibility, then visibility of the key light
in float wrinkle;   // strength of furrows
in vec2 place;      // texture coordinate; x has twice the part added
out vec4 v_shading;
out vec4 v_place;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_shading = shading;
    v_place = vec4(place, wrinkle, 0.0);
}
"""

SURFACE_FRAGMENT = """
#version 330
in vec4 v_shading;
in vec4 v_place;
layout(location = 0) out vec4 surface;
layout(location = 1) out vec4 where;
void main() {
    surface = v_shading;
    where = v_place;
}
"""

SCREEN_VERTEX = """
#version 330
out vec2 screen;
void main() {
    vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
    screen = corner;
    gl_Position = vec4(corner * 2.0 - 1.0, 1.0, 1.0);  // at the far plane, so the depth test tells the head apart
}
"""

BACKGROUND_FRAGMENT = """
#version 330
uniform sampler2D background_map;  // sqrt of linear RGB
uniform vec3 sqrt_gain;
in vec2 screen;
out vec4 colour;
void main() { colour = vec4(texture(background_map, screen).rgb * sqrt_gain, 1.0); }
"""

# Both shaders of the head light a surface in the same way; they differ in where its material comes from.
_LIGHT_HEADER = """
#version 330
uniform sampler2D surface_map;
uniform sampler2D where_map;
uniform sampler2D detail_map;    // normal offset, cavity
uniform mat3 head;               // head frame to camera frame
uniform vec3 key_direction, key_colour, fill_direction, fill_colour, sky_colour, ground_colour;
uniform vec3 halfway;            // between the key light and the camera
uniform vec3 gain;               // exposure times white balance
out vec4 colour;

vec3 offset(vec4 texel) { return texel.xyz * 2.0 - 1.0; }

// The square root of linear light; the tone curve is applied later, to fewer pixels, with a table.
vec4 lit(vec3 albedo, vec3 normal, float open, float key_seen, vec3 wrap, float gloss, float sharpness) {
    vec3 unwrapped = 1.0 / (1.0 + wrap);
    vec3 light = key_colour * key_seen * max((dot(normal, key_direction) + wrap) * unwrapped, 0.0);
    light += fill_colour * (0.3 + 0.7 * open) * max((dot(normal, fill_direction) + wrap) * unwrapped, 0.0);
    vec3 ambient = mix(ground_colour, sky_colour, 0.5 + 0.5 * normal.y);
    // Light that bounces between folds takes on the colour of the skin: dark places turn red before black.
    light += ambient * vec3(mix(open, sqrt(open), 0.35), open, open);
    float facing = max(dot(normal, halfway), 0.0);
    float rim = 1.0 - max(normal.z, 0.0);
    vec3 seen = albedo * light;
    seen += key_colour * (key_seen * gloss * 0.16 * facing / (sharpness - sharpness * facing + facing));
    seen += ambient * (gloss * open * (0.012 + 0.10 * rim * rim * rim));
    return vec4(sqrt(seen * gain), 1.0);
}
"""

SKIN_FRAGMENT = (
    _LIGHT_HEADER
    + """
uniform sampler2D albedo_map;    // sqrt of linear RGB, gloss
uniform sampler2D wrinkle_map;   // normal offset, darkness
uniform float wrinkle_gain;
void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 surface = texelFetch(surface_map, pixel, 0);
    vec4 where = texelFetch(where_map, pixel, 0);
    vec2 uv = vec2(where.x, 1.0 - where.y);
    vec4 skin = texture(albedo_map, uv);
    vec4 wrinkle = texture(wrinkle_map, uv);
    float strength = where.z * wrinkle_gain;
    vec3 bent = offset(texture(detail_map, uv)) * 0.9 + offset(wrinkle) * strength * 1.6;
    float open = length(surface.xyz);
    vec3 normal = normalize(surface.xyz / open + head * bent);
    float furrow = min(wrinkle.a * strength, 0.8);
    vec3 albedo = skin.rgb * skin.rgb * mix(vec3(1.0), vec3(0.66, 0.55, 0.52), furrow);
    open *= 1.0 - 0.35 * furrow;
    colour = lit(albedo, normal, open, surface.w, vec3(0.28, 0.17, 0.13), skin.a, 24.0);
}
"""
)

INNER_FRAGMENT = (
    _LIGHT_HEADER
    + """
uniform vec3 iris_colour, teeth_colour;
uniform float iris_radius, mouth_light;
void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 where = texelFetch(where_map, pixel, 0);
    float part = floor(where.x * 0.5);
    if (part < 0.5) discard;  // skin
    vec4 surface = texelFetch(surface_map, pixel, 0);
    float open = length(surface.xyz), key_seen = surface.w;
    vec3 normal = surface.xyz / open;
    vec2 place = vec2(where.x - 2.0 * part, where.y);
    vec3 albedo, wrap = vec3(0.28, 0.17, 0.13);
    float gloss, sharpness = 24.0;
    if (part < 1.5) {
        vec2 p = place - vec2(1.0);
        float r = length(p) / iris_radius;
        vec4 detail = texture(detail_map, place * 0.7);
        float streak = 0.85 + 1.2 * (detail.x + detail.y - 1.0);
        vec3 sclera = vec3(0.47, 0.42, 0.40) - vec3(0.02, 0.12, 0.12) * smoothstep(0.5, 0.95, abs(p.x));
        float ring = mix(1.25, 0.45, smoothstep(0.6, 1.0, r));
        vec3 iris = iris_colour * streak * ring * (0.8 - 0.27 * p.y / iris_radius);
        iris *= smoothstep(0.36, 0.46, r);
        albedo = mix(iris, sclera, smoothstep(0.93, 1.07, r));
        wrap = vec3(0.25);
        gloss = 1.6; sharpness = 180.0;
        vec3 bulge = head * vec3(p, 0.0);
        normal = normalize(normal + bulge * (1.0 - smoothstep(0.7, 1.1, r)) * 0.5);
    } else if (part < 2.5) {
        albedo = teeth_colour * 0.6; gloss = 0.7; sharpness = 60.0;
        open *= mouth_light; key_seen *= mouth_light; wrap = vec3(0.4);
    } else if (part < 3.5) {
        albedo = vec3(0.40, 0.15, 0.14); gloss = 0.4; sharpness = 40.0;
        open *= mouth_light * 0.8; key_seen *= mouth_light * 0.5;
    } else {
        albedo = vec3(0.16, 0.03, 0.03); open *= mouth_light * 0.35; key_seen *= mouth_light * 0.2; gloss = 0.0;
    }
    colour = lit(albedo, normal, open, key_seen, wrap, gloss, sharpness);
}
"""
)

STRAND_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
in vec4 paint;      // display RGB, opacity
out vec4 v_paint;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_paint = paint;
}
"""

STRAND_FRAGMENT = """
#version 330
in vec4 v_paint;
out vec4 colour;
void main() { colour = v_paint; }
"""

DEPTH_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
void main() { gl_Position = projection * vec4(position, 1.0); }
"""

DEPTH_FRAGMENT = """
#version 330
void main() {}
"""
